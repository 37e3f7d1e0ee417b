import Module = require('node:module')

/*
 * `ATTACKS_EXPRESS=4`: everything that asks for Express gets version 4, the package itself included, as it does in an
 * app that has version 4. A test that only makes its own app with it would mount a router of version 5 there.
 */
const loader = Module as unknown as { _resolveFilename(request: string, ...rest: unknown[]): string }
const resolve = loader._resolveFilename
loader._resolveFilename = (request, ...rest) => resolve(request === 'express' ? 'express-4' : request, ...rest)
