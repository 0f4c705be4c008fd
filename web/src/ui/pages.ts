/** Pages beside the list of sessions, in a part of their own: the list comes first. */

import "./account/account-page";
import "./device-page";
import "./runners/runners-page";
import "./settings-page";
