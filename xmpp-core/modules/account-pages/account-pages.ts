import type { Account } from "../../routing/accounts.ts";
import { webAddress } from "../../stream/web-ports.ts";
import { text, x } from "../../xml/writer.ts";
import { accountMaking } from "../account-points.ts";
import { attempts } from "../attempts.ts";
import { type Core, defineModule } from "../module.ts";
import { accountPages as linkedPages, type WebAnswer, type WebRequest, webRoutes } from "../web-points.ts";
import { invitePage } from "./invite-page.ts";
import { alarm, page, style } from "./layout.ts";
import { sendsMails } from "./mail.ts";
import { ownPages } from "./own-pages.ts";
import { accountPageProperties, pagesEnabled } from "./properties.ts";
import { registerPage } from "./register-page.ts";
import { openResets, resetsMigration } from "./resets.ts";
import { type Visit, visited } from "./visit.ts";

/** What people do with their accounts in a browser: make one, change its password, give it up, accept an invitation. docs/accounts.md */
export const accountPages = defineModule({
  name: "account-pages",
  implements: [],
  properties: accountPageProperties,
  migrations: [resetsMigration],
  start,
});

type Shown = (visit: Visit, stale?: boolean) => WebAnswer | Promise<WebAnswer>;

function start(core: Core) {
  const resets = openResets(core);
  const own = ownPages(core, resets);
  /** Invitations that one address may open; guessing is slow, a family is not. */
  const mayOpen = attempts(core, { atOnce: 60, everyMs: 30_000 });

  const single = new Map<string, Shown>([
    ["register", (visit, stale) => registerPage(core, visit, stale)],
    ["password", own.password],
    ["delete", own.remove],
    ["reset", own.reset],
  ]);

  function shown(request: WebRequest, root: string, purpose: string, pages: Shown): Promise<WebAnswer> | WebAnswer {
    return visited(
      core,
      request,
      { root, purpose },
      // Passwords are typed on each of them.
      request.secure
        ? { answer: pages, stale: (visit) => pages(visit, true) }
        : { answer: (visit) => insecure(core, visit), stale: (visit) => insecure(core, visit) },
    );
  }

  const nothing = (request: WebRequest, root: string) =>
    shown(request, root, "nothing", (visit) => page(visit, 404, visit.words.notFound, []));

  const linked = (path: string, here: () => boolean) => () =>
    core.properties.get(pagesEnabled) && here() ? path : undefined;
  const open = (): boolean => core.offered(accountMaking)[0]?.open() === true;
  core.offer(linkedPages, { kind: "register", path: linked("/account/register", open) });
  core.offer(linkedPages, { kind: "password", path: linked("/account/password", () => true) });

  core.offer(webRoutes, {
    root: "account",
    methods: ["GET", "POST"],
    answer(request) {
      const [first = "", second, ...more] = request.segments;
      const root = "../".repeat(Math.max(1, request.segments.length));
      if (first === "style.css" && second === undefined)
        return {
          status: 200,
          headers: { "content-type": "text/css; charset=utf-8", "cache-control": "max-age=3600" },
          body: style,
        };
      if (!core.properties.get(pagesEnabled) || more.length > 0) return nothing(request, root);
      if (first === "reset" && second !== undefined)
        return shown(request, root, "reset by link", (visit, stale) => own.resetBy(second, visit, stale));
      const found = second === undefined ? single.get(first) : undefined;
      if (found !== undefined) return shown(request, root, first, found);
      if (first !== "") return nothing(request, root);
      // Its address may end with a slash or not, so that nothing relative can stand on the page.
      const base = webAddress(core.properties.get, core.names.primary.name);
      return shown(request, base === undefined ? "" : `${base}/`, "overview", (visit) => overview(core, visit));
    },
  });

  core.offer(webRoutes, {
    root: "invite",
    methods: ["GET", "POST"],
    answer(request) {
      const [token, ...more] = request.segments;
      if (!core.properties.get(pagesEnabled) || token === undefined || more.length > 0) return nothing(request, "../");
      if (!mayOpen(request.remote))
        return shown(request, "../", "nothing", (visit) =>
          page(visit, 429, visit.words.notFound, [alarm(visit.words.tooMany)]),
        );
      return shown(request, "../", "invite", (visit, stale) => invitePage(core, token, visit, stale));
    },
  });

  const forget = (account: Account) => resets.forget(account);
  return { account: { setAside: forget, removed: forget } };
}

function insecure(core: Core, visit: Visit): WebAnswer {
  const href = webAddress(core.properties.get, visit.domain);
  return page(visit, 403, visit.words.secure, [href !== undefined && x("p", {}, x("a", { href }, text(href)))]);
}

function overview(core: Core, visit: Visit): WebAnswer {
  const { words, domain } = visit;
  const base = webAddress(core.properties.get, domain) ?? "";
  const links = [
    core.offered(accountMaking)[0]?.open() === true && (["register", words.registerTitle] as const),
    ["password", words.passwordTitle] as const,
    sendsMails(core) && (["reset", words.resetTitle] as const),
    ["delete", words.deleteTitle] as const,
  ];
  return page(visit, 200, domain, [
    x(
      "ul",
      {},
      links.flatMap((link) =>
        link === false ? [] : [x("li", {}, x("a", { href: `${base}/account/${link[0]}` }, text(link[1])))],
      ),
    ),
  ]);
}
