// The frame: head, views, keys.

import { button, el, put } from "./dom.js";
import { hasToken, setToken, whenTokenChanges } from "./api.js";
import { compare, incident } from "./incident.js";
import { incidents } from "./incidents.js";
import { health } from "./health.js";
import { dialog, empty, heading, tokenForm } from "./parts.js";
import { prefer, preference } from "./preferences.js";
import { at, go, reload, route } from "./router.js";
import { headSearch, search } from "./search.js";
import { success } from "./success.js";
import { rewriteTimes } from "./time.js";

const VIEWS = /** @type {const} */ ([
	["incidents", "Incidents", "i"],
	["search", "Search", "s"],
	["success", "Success", "r"],
	["health", "Health", "h"],
]);

/** A choice that lasts. @param {"times" | "theme"} name @param {string} label @param {Record<string, string>} texts @param {() => void} follow */
function setting(name, label, texts, follow) {
	const made = el("select", { id: name, "aria-label": label }, ...Object.entries(texts).map(([value, text]) => el("option", { value }, text)));
	made.value = preference(name);
	made.addEventListener("change", () => (prefer(name, made.value), follow()));
	return made;
}

function paint() {
	document.documentElement.dataset.theme = preference("theme");
}

const main = el("main", { id: "main", tabindex: "-1" });
const links = new Map(VIEWS.map(([name, text]) => [name, el("a", { href: at(name) }, text)]));
const tokenButton = button("Token", askToken, { class: "small" });

function askToken() {
	const text = "The console sends it with each question. It is kept in memory, or with this tab if you tick the box; never in an address.";
	const forget = button("Forget it", () => (setToken("", false), reload()));
	dialog("Token", el("p", {}, text), tokenForm(), hasToken() && forget);
}

/** Keys, outside of fields. Readers who use speech input can switch them off. @type {[string, string, () => void][]} */
const KEYS = [
	["/", "search: what worked before?", () => document.getElementById("head-search")?.focus()],
	...VIEWS.map(([name, text, key]) => /** @type {[string, string, () => void]} */ ([`g ${key}`, `go to ${text.toLowerCase()}`, () => go(at(name))])),
	["j", "next incident of a list", () => step(1)],
	["k", "previous incident of a list", () => step(-1)],
	["?", "these keys", showKeys],
];

/** @param {number} by */
function step(by) {
	const all = /** @type {HTMLElement[]} */ ([...main.querySelectorAll("a.incident")]);
	const now = all.findIndex(link => link === document.activeElement);
	all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + by, 0), all.length - 1)]?.focus();
}

function showKeys() {
	if (document.querySelector("dialog")) return;
	const uses = el("input", { type: "checkbox", id: "uses-keys", checked: preference("shortcuts") === "on" });
	uses.addEventListener("change", () => prefer("shortcuts", uses.checked ? "on" : "off"));
	const keys = KEYS.map(([keys, text]) => el("div", {}, el("dt", {}, ...keys.split(" ").map(key => el("code", {}, key))), el("dd", {}, text)));
	dialog("Keys", el("dl", { class: "keys" }, ...keys), el("label", { for: "uses-keys" }, uses, " use them"));
}

let pressed = "";
document.addEventListener("keydown", event => {
	const target = event.target;
	const types = target instanceof HTMLElement && target.matches("input:not([type=checkbox]), textarea, select");
	if (types || event.ctrlKey || event.metaKey || event.altKey || preference("shortcuts") !== "on" || document.querySelector("dialog")) return;
	const keys = pressed === "g" ? `g ${event.key}` : event.key;
	pressed = event.key === "g" && pressed !== "g" ? "g" : "";
	setTimeout(() => (pressed = ""), 1500);
	const found = KEYS.find(([key]) => key === keys);
	if (!found) return;
	event.preventDefault();
	found[2]();
});

const skip = el("a", { href: "#main", class: "skip" }, "To the content");
skip.addEventListener("click", event => {
	event.preventDefault();
	main.focus();
});
paint();
put(
	document.body,
	skip,
	el(
		"header",
		{},
		el("a", { href: at("incidents"), class: "brand" }, "Data Storage"),
		el("nav", { "aria-label": "Views" }, el("ul", {}, ...[...links.values()].map(link => el("li", {}, link)))),
		headSearch(),
		el(
			"div",
			{ class: "settings" },
			setting("times", "Times", { relative: "times: ago", local: "times: local", utc: "times: UTC" }, rewriteTimes),
			setting("theme", "Colours", { auto: "colours: auto", light: "light", dark: "dark" }, paint),
			tokenButton,
			button("?", showKeys, { class: "small", "aria-label": "Keys" }),
		),
	),
	main,
	el("div", { id: "news", class: "unseen", "aria-live": "polite" }),
);

whenTokenChanges(() => void (tokenButton.textContent = hasToken() ? "Token set" : "Token"));

/** @type {View} */
const nothing = ({ host, title }) => {
	title("Nothing here");
	put(host, heading("Nothing here"), empty(el("p", {}, "The console has no such view."), el("a", { href: at("incidents") }, "Incidents")));
};
/** @type {View} */
const listOrOne = page => (page.rest === "" ? incidents(page) : incident(page));
route(main, { incidents: listOrOne, search, success, health, compare, nothing }, name => {
	for (const [view, link] of links) {
		if (view === name) link.setAttribute("aria-current", "page");
		else link.removeAttribute("aria-current");
	}
});
