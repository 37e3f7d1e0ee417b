/** Whether a host name can only mean this machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127(\.\d{1,3}){3}$/.test(hostname)
  )
}

const OWN_ORIGIN = 'https://own.invalid'

/** The path when it stays on this origin as a browser resolves it, otherwise `/`. */
export function safePath(path: string): string {
  const staysHere = path.startsWith('/') && URL.canParse(path, OWN_ORIGIN)
  return staysHere && new URL(path, OWN_ORIGIN).origin === OWN_ORIGIN ? path : '/'
}
