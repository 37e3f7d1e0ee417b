import http = require('node:http')
import https = require('node:https')

import { BitbucketSignInError } from '../contract/errors'
import {
  ATTEMPT_MS,
  endedEarly,
  failureOf,
  headersOf,
  MAX_BODY_BYTES,
  readAnswer,
  type Transport,
  tooLarge,
  type UpstreamAnswer,
  type UpstreamRequest,
} from './transport-parts'

/** Requests through the app's own agent, which manages connections: for proxies, which need `node:http`. */
export function agentTransport(agent: http.Agent): Transport {
  return {
    request: (upstream) => send(upstream, agent, upstream.method === 'GET'),
    preconnect() {},
    close() {},
  }
}

function send(upstream: UpstreamRequest, agent: http.Agent, mayRetry: boolean): Promise<UpstreamAnswer> {
  const { deadline, url, method, body } = upstream
  return new Promise((resolve, reject) => {
    if (deadline.reason) return reject(deadline.reason)
    const client = url.protocol === 'https:' ? https : http
    const headers = headersOf(upstream)
    if (body !== undefined) headers['content-length'] = Buffer.byteLength(body).toString()
    // The app's agent may set it differently; its options come first.
    const options = { method, agent, headers, autoSelectFamilyAttemptTimeout: ATTEMPT_MS }
    const request = begin(() => client.request(url, options))
    let response: http.IncomingMessage | undefined
    let settled = false
    /** The first outcome settles. A request that is still open is destroyed, so that no further byte is read. */
    const settle = (): boolean => {
      if (settled) return false
      settled = true
      deadline.remove(giveUp)
      return true
    }
    const giveUp = (error: BitbucketSignInError): void => {
      if (!settle()) return
      request.destroy()
      reject(error)
    }
    const fail = (error: NodeJS.ErrnoException): void => {
      const failure = failureOf(error, response !== undefined)
      if (failure !== 'retry') return giveUp(failure)
      if (!mayRetry) return giveUp(endedEarly())
      if (settle()) resolve(send(upstream, agent, false))
    }
    deadline.add(giveUp)

    request.on('error', fail)
    // Always the last event, even if an answer broke off or switched protocols.
    request.on('close', () => {
      if (!response?.complete) fail(Object.assign(new Error('closed'), { code: 'ECONNRESET' }))
    })
    request.on('response', (incoming) => {
      response = incoming
      const chunks: Buffer[] = []
      let bytes = 0
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        chunks.push(chunk)
        if (bytes > MAX_BODY_BYTES) giveUp(tooLarge())
      })
      incoming.on('end', () => {
        if (!settle()) return
        try {
          resolve(readAnswer(incoming.statusCode ?? 0, incoming.headers, chunks))
        } catch (error) {
          reject(error)
        }
      })
    })
    request.end(body)
  })
}

/** Node refuses an agent of the other protocol by throwing. */
function begin(request: () => http.ClientRequest): http.ClientRequest {
  try {
    return request()
  } catch (cause) {
    throw new BitbucketSignInError(
      'configuration_invalid',
      '`http.agent` cannot send this request; see `cause`. Bitbucket needs https: set an `https.Agent`, or a proxy agent for https.',
      { cause },
    )
  }
}
