/** The form in which addresses are compared and kept unique: ASCII letters in lower case, nothing else folded. */
export function addressKey(address: string): string {
  return address.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
