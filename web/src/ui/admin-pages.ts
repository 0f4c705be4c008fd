/** Pages that only admins see, in a part of their own. */

import "./audit/audit-page";
import "./people/people-page";
