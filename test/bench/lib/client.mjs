import net from 'node:net'

/**
 * One keep-alive connection to the app under test. Hand-written, because the driver shares two cores with the app and
 * should leave them to it. It understands exactly what Express sends: a length or chunks, one answer at a time.
 */
export class Connection {
  #socket
  #received = ''
  #answered

  /** @param {number} port */
  constructor(port) {
    this.port = port
    this.#socket = net.connect(port, '127.0.0.1')
    this.#socket.setNoDelay(true)
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text) => {
      this.#received += text
      this.#readAnswer()
    })
    this.#socket.on('error', (error) => this.#answered?.reject(error))
    this.#socket.on('close', () => this.#answered?.reject(new Error('The app closed the connection.')))
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{ cookie?: string, body?: string, type?: string, host?: string }} [options]
   * @returns {Promise<{ status: number, location?: string, setCookies: string[], body: string }>}
   */
  request(method, path, { cookie, body, type, host = `127.0.0.1:${this.port}` } = {}) {
    let head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/html\r\n`
    if (cookie) head += `Cookie: ${cookie}\r\n`
    if (body !== undefined) {
      head += `Origin: http://${host}\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
    }
    return new Promise((resolve, reject) => {
      this.#answered = { resolve, reject }
      this.#socket.write(`${head}\r\n${body ?? ''}`)
    })
  }

  close() {
    this.#answered = undefined
    this.#socket.destroy()
  }

  #readAnswer() {
    const received = this.#received
    const headEnd = received.indexOf('\r\n\r\n')
    if (headEnd === -1) return
    const answer = { status: Number(received.slice(9, 12)), location: undefined, setCookies: [], body: '' }
    let length = 0
    let chunked = false
    for (const line of received.slice(0, headEnd).split('\r\n')) {
      const colon = line.indexOf(':')
      const value = () => line.slice(colon + 1).trim()
      switch (line.slice(0, colon).toLowerCase()) {
        case 'set-cookie':
          answer.setCookies.push(value())
          break
        case 'location':
          answer.location = value()
          break
        case 'content-length':
          length = Number(value())
          break
        case 'transfer-encoding':
          chunked = true
      }
    }
    const bodyStart = headEnd + 4
    if (chunked) {
      const end = received.indexOf('0\r\n\r\n', bodyStart)
      if (end === -1) return
      answer.body = joinChunks(received.slice(bodyStart, end))
    } else {
      if (received.length < bodyStart + length) return
      answer.body = received.slice(bodyStart, bodyStart + length)
    }
    this.#received = ''
    const { resolve } = this.#answered
    this.#answered = undefined
    resolve(answer)
  }
}

function joinChunks(text) {
  let body = ''
  for (let at = 0; at < text.length; ) {
    const lineEnd = text.indexOf('\r\n', at)
    const length = Number.parseInt(text.slice(at, lineEnd), 16)
    body += text.slice(lineEnd + 2, lineEnd + 2 + length)
    at = lineEnd + 4 + length
  }
  return body
}

/** A browser with an empty cookie jar on a connection that outlives it. */
export class Browser {
  #cookies = new Map()

  /**
   * @param {Connection} connection
   * @param {string} [host] sent as `Host`
   */
  constructor(connection, host) {
    this.connection = connection
    this.host = host
  }

  /** The `Cookie` header that it sends. */
  get cookie() {
    return Array.from(this.#cookies, ([name, value]) => `${name}=${value}`).join('; ')
  }

  async request(method, path, options) {
    const answer = await this.connection.request(method, path, { ...options, cookie: this.cookie, host: this.host })
    for (const line of answer.setCookies) this.#keep(line)
    return answer
  }

  #keep(line) {
    const pair = line.split(';', 1)[0]
    const equals = pair.indexOf('=')
    const name = pair.slice(0, equals)
    if (/; *(max-age=0|expires=thu, 01 jan 1970)/i.test(line)) this.#cookies.delete(name)
    else this.#cookies.set(name, pair.slice(equals + 1))
  }
}
