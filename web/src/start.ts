/** The page itself. */

import { showsDesktop } from "./ahead";
import { router } from "./router";
import { preferences } from "./store/preferences";
import "./ui/app";
import { loadDesktop, loadSessionPage } from "./ui/parts";
import { followVisualViewport } from "./ui/visual-viewport";

// Its parts are fetched before it is known who asks.
if (router.route.page === "session") loadSessionPage();
if (showsDesktop(router.route)) loadDesktop();
preferences.apply();
router.listen();
followVisualViewport();
