// NOT MongoDB. Speaks as much of its wire protocol as the Mongoose recipe and connect-mongo need, with the query language
// of mingo, unique and partial indexes. One transaction at a time, everything else waits: write conflicts, read concerns
// and elections do not occur here, so nothing is said about them.
import { createServer } from 'node:net'
import { BSON, EJSON } from 'bson'
import { Query, update } from 'mingo'

const OP_REPLY = 1
const OP_QUERY = 2004
const OP_MSG = 2013

export async function startMongoStandIn() {
  const store = new Store()
  const sockets = new Set()
  const server = createServer((socket) => {
    sockets.add(socket)
    let buffered = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (data) => {
      buffered = Buffer.concat([buffered, data])
      while (buffered.length >= 4 && buffered.length >= buffered.readInt32LE(0)) {
        const message = buffered.subarray(0, buffered.readInt32LE(0))
        buffered = buffered.subarray(message.length)
        answer(message).then(
          (reply) => socket.write(reply),
          (error) => socket.destroy(error),
        )
      }
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()

  async function answer(message) {
    const { opcode, command } = read(message)
    const result = await store.run(command, port).catch((error) => {
      if (typeof error.code !== 'number') console.error('mongo-stand-in:', error)
      return { ok: 0, code: error.code ?? 8, codeName: 'Error', errmsg: error.message, ...error.extra }
    })
    return write(opcode, message.readInt32LE(4), result)
  }

  return {
    version: 'a stand-in, NOT MongoDB: see recipes/mongoose/README.md',
    createDatabase: (name) => `mongodb://127.0.0.1:${port}/${name}?directConnection=true`,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function read(message) {
  const opcode = message.readInt32LE(12)
  if (opcode === OP_QUERY) {
    const name = message.indexOf(0, 20)
    return { opcode, command: BSON.deserialize(message.subarray(name + 9)) }
  }
  const command = {}
  for (let at = 20; at < message.length; ) {
    const kind = message[at++]
    const end = at + message.readInt32LE(at)
    if (kind === 0) Object.assign(command, BSON.deserialize(message.subarray(at, end)))
    else {
      const name = message.indexOf(0, at + 4)
      const documents = []
      for (let from = name + 1; from < end; from += message.readInt32LE(from))
        documents.push(BSON.deserialize(message.subarray(from, from + message.readInt32LE(from))))
      command[message.toString('utf8', at + 4, name)] = documents
    }
    at = end
  }
  return { opcode, command }
}

function write(opcode, responseTo, result) {
  const document = BSON.serialize(result)
  const head = Buffer.alloc(opcode === OP_QUERY ? 36 : 21)
  head.writeInt32LE(head.length + document.length, 0)
  head.writeInt32LE(responseTo, 8)
  head.writeInt32LE(opcode === OP_QUERY ? OP_REPLY : OP_MSG, 12)
  if (opcode === OP_QUERY) head.writeInt32LE(1, 32)
  return Buffer.concat([head, document])
}

class Store {
  #collections = new Map()
  #transaction = null
  #waiting = []

  async run(command, port) {
    const [name] = Object.keys(command)
    const key = command.autocommit === false ? `${command.lsid.id.toString('hex')} ${command.txnNumber}` : null
    if (!COMMANDS[name]) throw Object.assign(new Error(`no such command: '${name}'`), { code: 59 })
    if (COMMANDS[name] === HELLO) return HELLO(command, port)
    while (this.#transaction && this.#transaction.key !== key)
      await new Promise((resolve) => this.#waiting.push(resolve))
    if (command.startTransaction) this.#transaction = { key, before: copyOf(this.#collections) }
    else if (key !== null && !this.#transaction) {
      throw Object.assign(new Error('no such transaction'), { code: 251 })
    }
    if (name === 'commitTransaction' || name === 'abortTransaction') return this.#end(name === 'abortTransaction')
    try {
      return { ok: 1, ...COMMANDS[name](command, (collection) => this.#collection(`${command.$db}.${collection}`)) }
    } catch (error) {
      if (key !== null) this.#end(true)
      throw error
    }
  }

  #end(undo) {
    if (undo && this.#transaction) this.#collections = this.#transaction.before
    this.#transaction = null
    for (const resolve of this.#waiting.splice(0)) resolve()
    return { ok: 1 }
  }

  #collection(name) {
    if (!this.#collections.has(name)) this.#collections.set(name, { documents: [], indexes: [] })
    return this.#collections.get(name)
  }
}

function copyOf(collections) {
  return new Map(
    [...collections].map(([name, { documents, indexes }]) => [name, { documents: [...documents], indexes }]),
  )
}

const clone = (document) => BSON.deserialize(BSON.serialize(document))
const matching = ({ documents }, filter) => documents.filter((each) => new Query(filter ?? {}).test(each))

const HELLO = (_, port) => ({
  ok: 1,
  ismaster: true,
  isWritablePrimary: true,
  setName: 'stand-in',
  hosts: [`127.0.0.1:${port}`],
  me: `127.0.0.1:${port}`,
  maxBsonObjectSize: 16777216,
  maxMessageSizeBytes: 48000000,
  maxWriteBatchSize: 100000,
  logicalSessionTimeoutMinutes: 30,
  localTime: new Date(),
  minWireVersion: 0,
  maxWireVersion: 21,
})

const COMMANDS = {
  hello: HELLO,
  ismaster: HELLO,
  isMaster: HELLO,
  ping: () => ({}),
  endSessions: () => ({}),
  create: () => ({}),
  commitTransaction: () => ({}),
  abortTransaction: () => ({}),

  createIndexes({ createIndexes, indexes }, collection) {
    const own = collection(createIndexes).indexes
    for (const index of indexes) if (!own.some(({ name }) => name === index.name)) own.push(index)
    return {}
  },

  insert: ({ insert, documents }, collection) =>
    writing(documents, (document) => {
      put(collection(insert), insert, clone(document), null)
      return 1
    }),

  update: ({ update: name, updates }, collection) =>
    writing(updates, ({ q, u, multi, upsert, arrayFilters }) => {
      const own = collection(name)
      const found = matching(own, q).slice(0, multi ? undefined : 1)
      for (const document of found) put(own, name, changed(document, u, arrayFilters, q), document)
      if (found.length > 0 || !upsert) return found.length
      put(own, name, changed(clone(equalities(q)), u, arrayFilters, q), null)
      return 1
    }),

  delete: ({ delete: name, deletes }, collection) =>
    writing(deletes, ({ q, limit }) => {
      const own = collection(name)
      const found = matching(own, q).slice(0, limit || undefined)
      own.documents = own.documents.filter((each) => !found.includes(each))
      return found.length
    }),

  findAndModify({ findAndModify: name, query, update: u, new: fresh, arrayFilters }, collection) {
    const own = collection(name)
    const [document] = matching(own, query)
    if (!document) return { value: null, lastErrorObject: { n: 0, updatedExisting: false } }
    const next = changed(document, u, arrayFilters, query)
    put(own, name, next, document)
    return { value: fresh ? next : document, lastErrorObject: { n: 1, updatedExisting: true } }
  },

  find({ find, filter, limit, $db }, collection) {
    const firstBatch = matching(collection(find), filter).slice(0, limit || undefined)
    return { cursor: { id: 0n, ns: `${$db}.${find}`, firstBatch } }
  },

  /** As the driver counts: $match, then $group. */
  aggregate({ aggregate, pipeline, $db }, collection) {
    const n = matching(collection(aggregate), pipeline.find((stage) => stage.$match)?.$match).length
    return { cursor: { id: 0n, ns: `${$db}.${aggregate}`, firstBatch: n === 0 ? [] : [{ _id: 1, n }] } }
  },
}

/** Several writes: what a unique index refuses is reported with its place, as MongoDB does. */
function writing(items, one) {
  let n = 0
  for (const [index, item] of items.entries()) {
    try {
      n += one(item)
    } catch (error) {
      if (error.code !== 11000) throw error
      return { n, writeErrors: [{ index, code: 11000, errmsg: error.message, ...error.extra }] }
    }
  }
  return { n, nModified: n }
}

function changed(document, change, arrayFilters, condition) {
  const next = clone(document)
  const { $setOnInsert: _, ...operators } = change
  // Setting the id it has is no change.
  if (operators.$set?._id === document._id) delete operators.$set._id
  if (Object.keys(operators).every((name) => name.startsWith('$')))
    update(next, operators, arrayFilters ?? [], condition)
  else return { _id: document._id, ...change }
  return next
}

/** What an upsert starts with: the plain values of its filter. */
function equalities(filter) {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => typeof value !== 'object'))
}

function put(own, name, next, old) {
  const others = own.documents.filter((each) => each !== old)
  for (const index of [{ name: '_id_', key: { _id: 1 }, unique: true }, ...own.indexes].filter(
    ({ unique }) => unique,
  )) {
    const entries = new Set(entriesOf(next, index))
    if (!others.some((each) => entriesOf(each, index).some((entry) => entries.has(entry)))) continue
    const message = `E11000 duplicate key error collection: ${name} index: ${index.name} dup key: {}`
    throw Object.assign(new Error(message), { code: 11000, extra: { keyPattern: index.key } })
  }
  own.documents = old ? own.documents.map((each) => (each === old ? next : each)) : [...own.documents, next]
}

/** The entries of a document in an index: one for each element, where a key leads through an array. */
function entriesOf(document, { key, partialFilterExpression: filter }) {
  if (filter && !new Query(filter).test(document)) return []
  const paths = Object.keys(key)
  const list = document[paths[0].split('.')[0]]
  const roots = Array.isArray(list) ? list.map((each) => ({ [paths[0].split('.')[0]]: each })) : [document]
  return roots.map((root) =>
    EJSON.stringify(paths.map((path) => path.split('.').reduce((value, part) => value?.[part], root) ?? null)),
  )
}
