import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * The TCP connections of one server. Over TLS a request knows only the encrypted layer, while counting and resetting
 * need the layer below; the peer's address is what the two have in common.
 */
export class Connections {
  #opened = 0
  readonly #open = new Map<string, { readonly socket: Socket; readonly number: number }>()

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      const entry = { socket, number: ++this.#opened }
      this.#open.set(peer, entry)
      socket.once('close', () => {
        if (this.#open.get(peer) === entry) this.#open.delete(peer)
      })
    })
  }

  /** How many were ever opened. */
  get opened(): number {
    return this.#opened
  }

  numberOf(socket: Socket): number {
    return this.#open.get(peerOf(socket))?.number ?? 0
  }

  /** The TCP socket below a request's socket. */
  below(socket: Socket): Socket {
    return this.#open.get(peerOf(socket))?.socket ?? socket
  }

  destroyAll(): void {
    for (const { socket } of this.#open.values()) socket.destroy()
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
