// What runs on every page. Each module sees for itself whether the page has what it is for.
import { startClock } from "./clock.js";
import { startDialogs } from "./dialogs.js";
import { startEmergency } from "./emergency.js";
import { startLive } from "./live.js";
import { startSearch } from "./search.js";

startClock();
startLive();
startSearch();
startDialogs();
startEmergency();
