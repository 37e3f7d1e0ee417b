import net from 'node:net'

/**
 * A TCP proxy that keeps every byte for half a round trip in each direction, and a new connection's first bytes for the
 * one more round trip that the TCP handshake takes. Loopback alone would make a connection free, and a round trip too.
 *
 * @param {number} targetPort
 * @param {number} roundTripMs
 * @returns {Promise<{ port: number, drop(): void, close(): void }>}
 */
export async function startDelayProxy(targetPort, roundTripMs) {
  const sockets = new Set()
  const server = net.createServer((client) => {
    const upstream = net.connect(targetPort, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    const established = performance.now() + roundTripMs
    relay(client, upstream, roundTripMs / 2, established)
    relay(upstream, client, roundTripMs / 2, established)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: server.address().port,
    drop() {
      for (const socket of sockets) socket.destroy()
    },
    close() {
      this.drop()
      server.close()
    },
  }
}

/** Passes bytes and endings on in order, each `delayMs` after it came, none before the connection is `established`. */
function relay(from, to, delayMs, established) {
  const queue = []
  const enqueue = (deliver) => {
    queue.push({ due: Math.max(performance.now(), established) + delayMs, deliver })
    if (queue.length === 1) waitForFirst()
  }
  function waitForFirst() {
    const waitMs = queue[0].due - performance.now()
    if (waitMs <= 0.02) deliverFirst()
    // A timer alone is up to a millisecond late, which would count as round trips: the last stretch is polled.
    else if (waitMs > 2) setTimeout(waitForFirst, waitMs - 1.5)
    else setImmediate(waitForFirst)
  }
  function deliverFirst() {
    queue.shift().deliver()
    if (queue.length > 0) waitForFirst()
  }
  from.on('data', (chunk) => enqueue(() => to.writable && to.write(chunk)))
  from.on('end', () => enqueue(() => to.end()))
  from.on('close', () => enqueue(() => to.destroy()))
}
