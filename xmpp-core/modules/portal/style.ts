import { createHash } from "node:crypto";

/** The one style sheet of the public pages: light and dark, narrow and wide, screen and paper. */
export const style = `:root{color-scheme:light dark;--ink:#1b2430;--paper:#fff;--faint:#5a6472;--line:#d5dae1;--link:#0b5cad;--soft:#f2f5f9;--good:#17663a;--open:#8a4b00}
@media (prefers-color-scheme:dark){:root{--ink:#e7ebf0;--paper:#14191f;--faint:#a7b1bd;--line:#3a444f;--link:#82bcff;--soft:#1e252d;--good:#7fd6a2;--open:#f0b56a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:52rem;margin:0 auto;padding:0 1rem}
header{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding-top:.75rem;padding-bottom:.75rem;border-bottom:1px solid var(--line)}
header ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:0;padding:0;list-style:none}
header nav:last-child{margin-left:auto}
a{color:var(--link)}
a:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-100rem}
.skip:focus{left:1rem;top:.5rem;padding:.25rem .5rem;background:var(--paper)}
h1{font-size:1.6rem;line-height:1.25;margin:1.25rem 0 .5rem}
h2{font-size:1.2rem;margin:1.75rem 0 .5rem}
table{width:100%;border-collapse:collapse;margin:.75rem 0}
th,td{text-align:left;vertical-align:top;padding:.45rem .5rem;border-bottom:1px solid var(--line)}
tbody th{width:34%;font-weight:600}
.wide{overflow-x:auto}
.wide table{min-width:40rem}
code{font:.95em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--soft);padding:.05rem .3rem;border-radius:.25rem}
b{font-weight:600}
ol{padding-left:1.5rem}
li{margin:.35rem 0}
small,.faint{color:var(--faint)}
.tested{color:var(--good)}
.untested{color:var(--open)}
.note{border-left:.25rem solid var(--line);padding:.1rem .75rem;margin:1rem 0;background:var(--soft)}
footer{padding-top:1rem;padding-bottom:2rem;color:var(--faint)}
@media (max-width:30rem){tbody th{width:auto}.facts tr,.facts th,.facts td{display:block;border:0}.facts tr{border-bottom:1px solid var(--line);padding:.35rem 0}.facts th,.facts td{padding:.1rem 0}}
@media print{header,.skip{display:none}body{color:#000;background:#fff;font-size:11pt}a{color:#000}code{background:none;padding:0}tr,li{break-inside:avoid}}
`;

/** Part of its address, so that browsers keep it for as long as it is the same. */
export const styleVersion = createHash("sha256").update(style).digest("hex").slice(0, 12);

/** A speech bubble, so that browsers need not ask for an icon in vain. */
export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#0b5cad" d="M6 5h20a3 3 0 0 1 3 3v12a3 3 0 0 1-3 3H15l-7 6v-6H6a3 3 0 0 1-3-3V8a3 3 0 0 1 3-3z"/></svg>`;
