/** A name for the list of sessions, such as "Firefox on Windows". Good enough to recognise one's own. */
export function deviceName(userAgent = ''): string {
  const find = (known: Record<string, RegExp>) =>
    Object.entries(known).find(([, pattern]) => pattern.test(userAgent))?.[0]
  const browser = find({ Edge: /Edg\//, Firefox: /Firefox\//, Chrome: /Chrome\//, Safari: /Safari\//, curl: /^curl\// })
  const system = find({ Android: /Android/, iOS: /iPhone|iPad/, Windows: /Windows/, macOS: /Mac OS/, Linux: /Linux/ })
  return `${browser ?? 'A browser'}${system === undefined ? '' : ` on ${system}`}`
}
