/** The form in which addresses are compared: ASCII letters in lower case, all others unchanged. */
export function addressKey(address: string): string {
  return address.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
