import type { Request } from 'express'

/**
 * The change that lets Express recognise a request that came over https. The advice depends on the request: an app that
 * already trusts its proxy has to fix the proxy.
 */
export function httpsAdvice(req: Request): string {
  const { app, socket } = req
  const trusts: unknown = app.get('trust proxy fn')
  if (typeof trusts === 'function' && trusts(socket.remoteAddress, 0)) {
    return `\`trust proxy\` is set, and the proxy before the app ${seen(req.headers['x-forwarded-proto'])}. It must pass \`X-Forwarded-Proto: https\`, from the proxy that ends TLS if it is another one.`
  }
  if (app.get('trust proxy')) {
    return '`trust proxy` is set and does not cover the proxy that this request came through. Set it to the number of proxies, or add that address.'
  }
  return 'Behind a proxy that ends TLS set app.set("trust proxy", 1).'
}

/** Anyone may have sent the header: only a plain word of it is repeated. */
function seen(header: string | string[] | undefined): string {
  if (header === undefined) return 'sends no `X-Forwarded-Proto`'
  const [first = ''] = String(header).split(',', 1)
  return /^[a-z]{1,16}$/i.test(first.trim()) ? `says \`${first.trim()}\`` : 'sends an invalid `X-Forwarded-Proto`'
}
