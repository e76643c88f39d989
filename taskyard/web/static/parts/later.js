/** Dialogs that are fetched when one is opened first: the pages stand without them. */

import { failed } from "./toast.js";

/** See `serverform.js`. @param {Parameters<typeof import("./serverform.js").serverDialog>} given */
export function serverDialog(...given) {
  void import("./serverform.js").then((it) => it.serverDialog(...given)).catch(failed);
}

/** See `serverform.js`. @param {Parameters<typeof import("./serverform.js").keyDialog>} given */
export function keyDialog(...given) {
  void import("./serverform.js").then((it) => it.keyDialog(...given)).catch(failed);
}

/** See `taskform.js`. @param {Parameters<typeof import("./taskform.js").taskDialog>} given */
export function taskDialog(...given) {
  return import("./taskform.js").then((it) => it.taskDialog(...given));
}

/** See `server.js`. @param {Parameters<typeof import("../pages/server.js").maintain>} given */
export function maintain(...given) {
  void import("../pages/server.js").then((it) => it.maintain(...given)).catch(failed);
}
