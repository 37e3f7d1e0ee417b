import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'

/** One request as it came over the wire. */
export interface RawRequest {
  /** Head and body as text. */
  readonly text: string
  /** Counts all requests from 1. */
  readonly number: number
  /** Counts connections from 1. */
  readonly connection: number
}

/** A server that writes exactly the bytes a test says, as no HTTP library would. */
export interface RawServer {
  readonly url: URL
  readonly requests: readonly RawRequest[]
  /** Connections that were ever opened. */
  readonly opened: number
  /** Connections that are open. */
  readonly open: number
  close(): Promise<void>
}

/** Starts one on loopback; `answer` is called once for each complete request. */
export async function startRawServer(
  answer: (socket: Socket, request: RawRequest) => void,
  onConnection: (socket: Socket, connection: number) => void = () => {},
): Promise<RawServer> {
  const sockets = new Set<Socket>()
  const requests: RawRequest[] = []
  let opened = 0
  const server = createServer((socket) => {
    const connection = ++opened
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Tests reset and abandon connections on purpose.
    socket.on('error', () => {})
    onConnection(socket, connection)
    let received = ''
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1')
      for (let end = endOfRequest(received); end > 0; end = endOfRequest(received)) {
        const request = { text: received.slice(0, end), number: requests.length + 1, connection }
        received = received.slice(end)
        requests.push(request)
        answer(socket, request)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/2.0/user`),
    requests,
    get opened() {
      return opened
    },
    get open() {
      return sockets.size
    },
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

/** A complete answer. */
export function answerOf(body: string | Buffer, headers: Record<string, string> = {}, status = '200 OK'): Buffer {
  const given = { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(body)), ...headers }
  const head = Object.entries(given).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\n${head.join('')}\r\n`), Buffer.from(body)])
}

/** Where the first request ends, 0 while it is not complete. */
function endOfRequest(text: string): number {
  const head = text.indexOf('\r\n\r\n')
  if (head < 0) return 0
  const length = Number(/^content-length: (\d+)/im.exec(text.slice(0, head))?.[1] ?? 0)
  const end = head + 4 + length
  return text.length >= end ? end : 0
}
