/** The same text, to be kept: what was cut out of a longer one, or put together, would keep its parts as long as it lives. */
export const ownText = (text: string): string => (text.isWellFormed() ? Buffer.from(text).toString() : text)
