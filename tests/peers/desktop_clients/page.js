// What the three pages share: what the test can ask them about.
window.desk = { pixels: null, ended: null, errors: [] };
const begun = performance.now();

/** Notes when the first picture that is not one plain colour is on a canvas. */
export function watch(canvases) {
  const small = document.createElement("canvas");
  small.width = small.height = 64;
  const context = small.getContext("2d", { willReadFrequently: true });
  const look = () => {
    for (const canvas of canvases()) {
      if (!canvas.width || !canvas.height) continue;
      context.clearRect(0, 0, 64, 64);
      context.drawImage(canvas, 0, 0, 64, 64);
      const pixels = new Uint32Array(context.getImageData(0, 0, 64, 64).data.buffer);
      if (pixels.some((pixel) => pixel !== pixels[0])) {
        window.desk.pixels = performance.now() - begun;
        return;
      }
    }
    requestAnimationFrame(look);
  };
  look();
}

export function ended(words) {
  window.desk.ended ??= String(words);
}
