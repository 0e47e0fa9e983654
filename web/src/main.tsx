// Starts the page: one `Page`, the panels over it, the map under them.

import { render } from "preact";
import { Page } from "./page.ts";
import { App } from "./panels/app.tsx";
import "./page.css";

render(<App page={new Page()} />, document.getElementById("app")!);
