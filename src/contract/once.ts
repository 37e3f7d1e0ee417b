/** Makes a value with the first call, and returns it again with every other one. A failure is not kept. */
export function once<T extends object>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}
