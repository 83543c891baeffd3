/**
 * Sentences that are made of the same few words, as numbers of these words: a quarter of the bytes of the text. Each is
 * one text of a character a word; the words are shared by all sentences.
 */

/** Words that are told apart; sentences with more of them are kept as they are. */
const WORDS_MAX = 16_384
/** Stands before a sentence that is kept as it is. */
const AS_IT_IS = '\u0000'

const words: string[] = [AS_IT_IS]
const numbers = new Map<string, number>()

export function shortened(sentence: string): string {
  const parts = sentence.split(' ')
  const known: number[] = []
  for (const word of parts) {
    const number = numbers.get(word) ?? learn(word)
    if (number === null) return AS_IT_IS + sentence
    known.push(number)
  }
  return String.fromCharCode(...known)
}

export function whole(short: string): string {
  if (short.startsWith(AS_IT_IS)) return short.slice(1)
  return Array.from(short, character => words[character.charCodeAt(0)] ?? '').join(' ')
}

function learn(word: string): number | null {
  if (words.length >= WORDS_MAX) return null
  // A text of its own: a part of another would hold all of that.
  const own = Buffer.from(word).toString()
  numbers.set(own, words.length)
  return words.push(own) - 1
}
