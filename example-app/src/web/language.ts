import { type Request, Router } from 'express'

export type Language = 'en' | 'de'

/** The language of the pages that the package brings along; the app's own are English. */
export function languageOf(req: Request): Language {
  return /(?:^|; )language=de(?:;|$)/.test(req.headers.cookie ?? '') ? 'de' : 'en'
}

/** The switch at the foot of each page. */
export function languageRoutes(): Router {
  const router = Router()
  router.post('/language', (req, res) => {
    const language = req.body?.language === 'de' ? 'de' : 'en'
    res.cookie('language', language, { sameSite: 'lax', httpOnly: true, maxAge: 365 * 24 * 60 * 60 * 1000 })
    // Back to the page with the switch. Forms come from this origin only, see `sameOrigin`.
    const from = req.get('referer') ?? ''
    const isOurs = URL.canParse(from) && new URL(from).host === req.host
    const { pathname, search } = new URL(isOurs ? from : 'http://localhost/')
    res.redirect(303, pathname.startsWith('//') ? '/' : pathname + search)
  })
  return router
}
