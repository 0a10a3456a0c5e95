// What a reader chose, kept in this browser where it keeps anything.

/** @typedef {"times" | "theme" | "shortcuts"} Name */

/** @type {Record<Name, string>} */
const chosen = { times: "relative", theme: "auto", shortcuts: "on" };
const KEY = "data-storage.console.";

for (const name of /** @type {Name[]} */ (Object.keys(chosen))) {
	try {
		chosen[name] = localStorage.getItem(KEY + name) ?? chosen[name];
	} catch {
		// Storage may be forbidden.
	}
}

/** @param {Name} name */
export const preference = name => chosen[name];

/** @param {Name} name @param {string} value */
export function prefer(name, value) {
	chosen[name] = value;
	try {
		localStorage.setItem(KEY + name, value);
	} catch {
		// As above.
	}
}
