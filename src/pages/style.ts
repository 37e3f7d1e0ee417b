import { createHash } from 'node:crypto'

/** The one style sheet of all pages. A constant, so that its hash can be in the CSP. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--back:#f4f5f7;--card:#fff;--line:#dcdfe4;--field:#7a869a;--text:#172b4d;--quiet:#44546f;--link:#0052cc;--main:#0052cc;--main-over:#0747a6;--main-line:#0052cc;--over:#f1f2f4;--bad-back:#ffeceb;--bad:#ae2e24;--bad-text:#5d1f1a;--shadow:0 1px 2px #091e4214,0 8px 28px #091e421f}
@media (prefers-color-scheme:dark){:root{--back:#101214;--card:#1d2125;--line:#3a444d;--field:#8696a7;--text:#dee4ea;--quiet:#9fadbc;--link:#85b8ff;--main-over:#0747a6;--main-line:#388bff;--over:#2c333a;--bad-back:#42221f;--bad:#f87168;--bad-text:#ffd5d2;--shadow:none}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;min-height:100vh;min-height:100dvh;display:grid;align-items:center;justify-items:center;padding:1rem;background:var(--back);color:var(--text);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
main{width:100%;max-width:27rem;padding:clamp(1.25rem,6vw,2.25rem);background:var(--card);border:1px solid var(--line);border-radius:.75rem;box-shadow:var(--shadow)}
.mark{display:block;margin:0 0 1.25rem;color:var(--link)}
.brand{display:flex;align-items:center;gap:.625rem;margin:0 0 1.25rem;color:var(--quiet)}
.brand img{display:block;height:2rem;max-width:8rem;object-fit:contain}
h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.25;font-weight:650;letter-spacing:-.01em;text-wrap:pretty}
h2{margin:1.5rem 0 .25rem;font-size:1rem;font-weight:600}
p{margin:0 0 1rem}
bdi{font-weight:600}
a{color:var(--link)}
.quiet,.hint{color:var(--quiet);font-size:.875rem}
.quiet{margin:1.25rem 0 0}
.quiet bdi{font:.8125rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.hint{margin:0 0 .5rem}
.alert{margin:0 0 1rem;padding:.75rem 1rem;background:var(--bad-back);color:var(--bad-text);border:1px solid var(--bad);border-radius:.5rem}
form{margin:0}
.stack{display:grid;gap:.75rem;margin-top:1.5rem}
.stack:last-child{margin-bottom:-.75rem}
.apart{padding-top:1.25rem;border-top:1px solid var(--line)}
label{display:block;margin:0 0 .25rem;font-weight:600}
input{display:block;width:100%;min-height:2.75rem;margin:0 0 1rem;padding:.5rem .75rem;background:var(--card);color:inherit;font:inherit;border:1px solid var(--field);border-radius:.5rem}
input[aria-invalid]{border-color:var(--bad);box-shadow:inset 0 0 0 1px var(--bad)}
.code{font:600 1.25rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;letter-spacing:.15em;text-transform:uppercase}
.button{display:block;width:100%;min-height:2.75rem;padding:.6375rem 1rem;background:none;color:var(--text);font:inherit;font-weight:600;line-height:1.35;text-align:center;text-wrap:pretty;text-decoration:none;border:1px solid var(--field);border-radius:.5rem;cursor:pointer}
.button:hover{background:var(--over)}
.button svg{margin-right:.625rem;vertical-align:-.1875em}
.main{background:var(--main);color:#fff;border-color:var(--main-line)}
.main:hover{background:var(--main-over)}
.plain{color:var(--link);border-color:transparent}
.small{width:auto;font-size:.875rem}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
dl{margin:1.25rem 0 0;border:1px solid var(--line);border-radius:.5rem}
dl>div{display:grid;grid-template-columns:2.5rem 1fr;column-gap:.75rem;align-items:center;padding:.75rem 1rem}
.initials{grid-row:span 2;display:grid;place-items:center;width:2.5rem;height:2.5rem;background:var(--over);color:var(--quiet);font-weight:600;border-radius:50%}
dl>div+div{border-top:1px solid var(--line)}
dt{color:var(--quiet);font-size:.875rem}
dd{margin:0}
dd .hint{margin:0}
.hint bdi{font-weight:inherit}
ul{list-style:none;margin:0;padding:0}
li{display:flex;flex-wrap:wrap;align-items:center;justify-content:space-between;gap:1rem;padding:.625rem 0;border-bottom:1px solid var(--line)}
li bdi{flex:1 1 6rem}
li form{flex:none}
summary{padding:.625rem 0;color:var(--link);font-weight:600;cursor:pointer;border-radius:.25rem}
details form{padding-top:.5rem}
`

/** CSP source of the pages' style sheet, with its quotes: `style-src ${PAGE_STYLE_HASH}` lets it in and nothing else. */
export const PAGE_STYLE_HASH = `'sha256-${createHash('sha256').update(PAGE_STYLE).digest('base64')}'`
