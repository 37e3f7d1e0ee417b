import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Answer } from './answers'
import type { FakeFault } from './faults'

/** Puts an answer on the wire, whole or the way the fault wants it. */
export async function deliver(
  response: ServerResponse,
  socket: Socket,
  answer: Answer,
  fault: FakeFault = {},
): Promise<void> {
  if (fault.delivery === 'stall') return
  if (fault.delivery === 'reset') return void socket.resetAndDestroy()
  if (fault.hugeBytes !== undefined) return sendHuge(response, answer, fault.hugeBytes)
  const body = Buffer.from(answer.body)
  const half = body.subarray(0, Math.floor(body.length / 2))
  response.writeHead(answer.status, { ...answer.headers, 'content-length': body.length })
  switch (fault.delivery) {
    case 'stall-in-body':
      response.write(half)
      return
    case 'truncate':
      await written(response, half)
      socket.end()
      return
    case 'reset-in-body':
      await written(response, half)
      socket.resetAndDestroy()
      return
    case 'byte-by-byte':
      return sendInPieces(response, body, 1, 0)
    case undefined:
      if (fault.slow) return sendInPieces(response, body, fault.slow.chunkBytes ?? 1, fault.slow.everyMs)
      response.end(body)
  }
}

async function sendInPieces(response: ServerResponse, body: Buffer, size: number, everyMs: number): Promise<void> {
  // Without this the kernel gathers the pieces again.
  response.socket?.setNoDelay(true)
  for (let at = 0; at < body.length && !response.destroyed; at += size) {
    if (at > 0) await wait(everyMs, undefined, { ref: false })
    await written(response, body.subarray(at, at + size))
  }
  response.end()
}

/** Streams a JSON string, at the reader's pace and only while there is one. */
async function sendHuge(response: ServerResponse, answer: Answer, bytes: number): Promise<void> {
  response.writeHead(answer.status, answer.headers)
  const chunk = Buffer.alloc(64 * 1024, 'x')
  await written(response, Buffer.from('"'))
  for (let left = bytes - 2; left > 0 && !response.destroyed; left -= chunk.length) {
    await written(response, chunk.subarray(0, Math.min(left, chunk.length)))
  }
  response.end('"')
}

/** Settles when the bytes have left, or if there is no one to take them. */
function written(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    response.once('close', resolve)
    response.write(bytes, () => {
      response.off('close', resolve)
      resolve()
    })
  })
}
