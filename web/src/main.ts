import "./address-codes";

import "@fontsource-variable/jetbrains-mono/wght.css";
import "./ui/styles/symbols.css";
import "./ui/styles/tokens.css";
import "./ui/styles/base.css";

import { goAhead } from "./ahead";
import { router } from "./router";

void goAhead(router.route).then(() => import("./start"));
