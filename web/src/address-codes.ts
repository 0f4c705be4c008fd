/**
 * Links carry their one-time code in the fragment, `#sign-in=CODE` or `#share=CODE`, which browsers
 * keep to themselves.
 *
 * Importing this module takes the code off the address bar and out of the history at once; it must be
 * the first import of the page.
 */

class AddressCode extends EventTarget {
  private code: string | null = null;

  constructor(private readonly name: string) {
    super();
    this.capture();
    addEventListener("hashchange", () => {
      if (this.capture()) this.dispatchEvent(new Event("change"));
    });
  }

  /** The code, once. */
  take(): string | null {
    const { code } = this;
    this.code = null;
    return code;
  }

  private capture(): boolean {
    const code = new URLSearchParams(location.hash.slice(1)).get(this.name);
    if (code === null) return false;
    this.code = code;
    history.replaceState(null, "", location.pathname + location.search);
    return true;
  }
}

export const signInLink = new AddressCode("sign-in");
export const shareLink = new AddressCode("share");
