import { posix } from 'node:path'
import GithubSlugger from 'github-slugger'
import { defineConfig } from 'vitepress'
import { withMermaid } from 'vitepress-plugin-mermaid'
import { tabsMarkdownPlugin } from 'vitepress-plugin-tabs'

const OUTSIDE = /^(?:\.\.\/)+/

export default withMermaid(
  defineConfig({
    title: 'passport-bitbucket-signin',
    description: 'A complete "Sign in with Bitbucket" for Express apps.',
    srcExclude: ['decisions/**'],
    cleanUrls: true,
    markdown: {
      // The anchors that code hosts give, so that one link works on both.
      anchor: { slugify: (text: string) => new GithubSlugger().slug(text) },
      config(md) {
        md.use(tabsMarkdownPlugin)
        // Files outside docs/ are part of the repository and the package, not of the site: shown as plain text.
        md.core.ruler.push('outside-links', ({ tokens, env }) => {
          for (const token of tokens.flatMap(({ children }) => children ?? [])) {
            const href = token.attrGet('href')
            if (token.type !== 'link_open' || !href || /^(?:[a-z]+:|#)/i.test(href)) continue
            const target = posix.normalize(posix.join(posix.dirname(env.relativePath ?? ''), href))
            if (OUTSIDE.test(target) || target.startsWith('decisions/')) token.attrSet('href', '#')
          }
        })
      },
    },
    themeConfig: {
      search: { provider: 'local' },
      sidebar: [],
      outline: [2, 3],
    },
  }),
)
