import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import GithubSlugger from 'github-slugger'
import { defineConfig } from 'vitepress'
import { withMermaid } from 'vitepress-plugin-mermaid'

const OUTSIDE = /^(?:\.\.\/)+/

const page = (text: string, link: string) => ({ text, link })

export default withMermaid(
  defineConfig({
    title: 'passport-bitbucket-signin',
    description: 'A complete "Sign in with Bitbucket" for Express apps.',
    lang: 'en',
    srcExclude: ['decisions/**', 'security-tests.md'],
    cleanUrls: true,
    markdown: {
      // The anchors that code hosts make, so that one link works on both. A page has its own numbers.
      anchor: { slugify: (text: string) => new GithubSlugger().slug(text) },
      config(md) {
        // Files outside docs/ are part of the repository and the package, not of the site: shown as plain text.
        md.core.ruler.push('outside-links', ({ tokens, env }) => {
          for (const { children } of tokens) {
            let outside = false
            for (const token of children ?? []) {
              if (token.type === 'link_open') outside = isOutside(token.attrGet('href'), env.relativePath)
              if (outside && token.type.startsWith('link_')) Object.assign(token, { type: 'html_inline', content: '' })
              if (token.type === 'html_inline' && token.tag === 'a' && token.nesting === -1) outside = false
            }
          }
        })
      },
    },
    themeConfig: {
      search: { provider: 'local' },
      outline: [2, 3],
      nav: [page('Guide', '/getting-started'), page('Reference', '/reference/options'), page('API', '/api/')],
      sidebar: [
        {
          text: 'Start',
          items: [
            page('Getting started', '/getting-started'),
            page('Existing app', '/existing-app'),
            page('Recipes', '/recipes'),
            page('Single-page apps', '/spa'),
            page('Concepts', '/concepts'),
          ],
        },
        {
          text: 'Guides',
          items: [
            page('Linking', '/linking'),
            page('Tenants', '/tenants'),
            page('Company mode', '/company-mode'),
            page('Testing', '/testing'),
            page('Refreshing tokens', '/refreshing-tokens'),
            page('Migrate', '/migrate'),
            page('Upgrade to 0.2', '/upgrade-0.2'),
            page('Coding assistants', '/assistants'),
          ],
        },
        {
          text: 'Run',
          items: [
            page('Production checklist', '/production'),
            page('Troubleshooting', '/troubleshooting'),
            page('Security', '/security'),
            page('Performance', '/performance'),
            page('About Bitbucket', '/bitbucket'),
          ],
        },
        {
          text: 'Reference',
          items: [
            page('Options', '/reference/options'),
            page('Account hooks', '/reference/hooks'),
            page('Routes and JSON', '/json-api'),
            page('Errors', '/reference/errors'),
            page('Events', '/reference/events'),
            page('API', '/api/'),
          ],
        },
      ].map(({ text, items }) => ({ text, items: items.filter(({ link }) => isWritten(link)) })),
    },
  }),
)

function isOutside(href: string | null, from = ''): boolean {
  if (!href || /^(?:[a-z]+:|#)/i.test(href)) return false
  const target = posix.normalize(posix.join(posix.dirname(from), href))
  return OUTSIDE.test(target) || /^(?:decisions\/|security-tests)/.test(target)
}

function isWritten(link: string): boolean {
  const file = link.endsWith('/') ? `${link}index` : link
  return existsSync(fileURLToPath(new URL(`..${file}.md`, import.meta.url)))
}
