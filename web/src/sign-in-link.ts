/**
 * A sign-in link carries its code in the fragment, `#sign-in=CODE`, which browsers keep to themselves.
 *
 * Importing this module takes the code off the address bar and out of the history at once; it must be
 * the first import of the page.
 */

class SignInLink extends EventTarget {
  private code: string | null = null;

  constructor() {
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
    const code = new URLSearchParams(location.hash.slice(1)).get("sign-in");
    if (code === null) return false;
    this.code = code;
    history.replaceState(null, "", location.pathname + location.search);
    return true;
  }
}

export const signInLink = new SignInLink();
