import "./address-codes";

import "@fontsource-variable/jetbrains-mono/wght.css";
import "./ui/styles/symbols.css";
import "./ui/styles/tokens.css";
import "./ui/styles/base.css";

import { goAhead } from "./ahead";
import { router } from "./router";
import { preferences } from "./store/preferences";
import "./ui/app";
import { followVisualViewport } from "./ui/visual-viewport";

goAhead(router.route);
preferences.apply();
router.listen();
followVisualViewport();
