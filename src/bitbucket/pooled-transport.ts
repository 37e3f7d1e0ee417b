import type { Transport } from './transport-parts'
import type { Host } from './upstream-host'

/** The target of a request: the host with its connections, and the path. */
interface Place {
  readonly host: Host
  readonly path: string
}

/** Our own connections to each host, kept open between sign-ins and opened in advance. */
export function pooledTransport(preconnect: boolean, timeoutMs: number): Transport {
  const hosts = new Map<string, Host>()
  // Parsed once per URL object; a connection's URL objects last as long as it does.
  let places = new WeakMap<URL, Place>()

  function placeOf(url: URL): Place {
    let place = places.get(url)
    if (!place) {
      let host = hosts.get(url.origin)
      if (!host) {
        host = new (loadHost().Host)(url, timeoutMs)
        hosts.set(url.origin, host)
      }
      place = { host, path: `${url.pathname}${url.search}` }
      places.set(url, place)
    }
    return place
  }

  return {
    request(upstream) {
      if (upstream.deadline.reason) return Promise.reject(upstream.deadline.reason)
      const { host, path } = placeOf(upstream.url)
      return host.send(path, upstream)
    },
    preconnect(url, count) {
      if (preconnect) placeOf(url).host.warm(count)
    },
    close() {
      for (const host of hosts.values()) host.close()
      hosts.clear()
      places = new WeakMap()
    },
  }
}

/** Loaded by the first start, not with the app: with the pool of undici it takes as long to load as everything else. */
const loadHost = () => require('./upstream-host') as typeof import('./upstream-host')
