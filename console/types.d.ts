// Names of types for the checker of `make check-console`; nothing here is served.

type Schemas = import("api").components["schemas"];
type Incident = Schemas["Incident"];
type Detail = Schemas["IncidentDetail"];
type Entry = Schemas["TimelineEntry"];
type Rate = Schemas["SuccessRate"];
/** What a view's address says, and what a question asks for. */
type Query = URLSearchParams;
type Move = (query: Query) => void;
/** What stands above a view's answer, of its address. */
type Controls = (query: Query, move: Move) => Child[];
/** Draws a view anew; its questions end with `until`, and `keep` takes what "copy as JSON" copies. */
type Follow = (query: Query, until: AbortSignal, keep: (answer: unknown) => void) => void;
/** What can be put into an element. */
type Child = Node | string | number | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined>;
/** A question: a GET with its parameters, or a POST with a body. */
type Question = { path: string; query?: Query; body?: object };
/** What a view is given: its host, what its address says, and a signal that ends its questions when another view comes. */
type Page = { host: HTMLElement; rest: string; query: Query; signal: AbortSignal; title: (text: string) => void };
/** A view draws itself, and may return how it follows a changed address. */
type View = (page: Page) => void | ((query: Query) => void);
/** How a part is drawn of an answer. */
type Draw = (data: any, tag: string, until: AbortSignal) => Child[];
/** One event of a timeline: milliseconds since 1970, and milliseconds. */
type Moment = { at: number; took: number; label: string; status: string; kind: string };
