import type { RequestHandler } from 'express'
import helmet from 'helmet'

/** Nothing is loaded from elsewhere and no script stands in a page, so the policy can be short. */
export function securityHeaders(authorizeOrigin: string, secure: boolean): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'none'"],
        'img-src': ["'self'"],
        'script-src': ["'self'"],
        'style-src': ["'self'"],
        // Browsers apply it to the redirect that follows a form, too, and such a redirect may lead to Bitbucket.
        'form-action': ["'self'", authorizeOrigin],
        'base-uri': ["'none'"],
        'frame-ancestors': ["'none'"],
      },
    },
    // Not `no-referrer`: with it, browsers that send no Sec-Fetch-Site send `Origin: null` with our own forms.
    referrerPolicy: { policy: 'same-origin' },
    strictTransportSecurity: secure,
  })
}
