/** The text of the config file, whatever stands where it should be: a folder, a pipe that never ends, another encoding. */
import { closeSync, openSync, readSync } from 'node:fs'

const FILE_BYTES_MAX = 16 * 2 ** 20

/** Throws an `Error` whose message says what is wrong with it, without its name. */
export function readConfigFile(file: string): string {
  const bytes = readBytes(file)
  if (bytes.length > FILE_BYTES_MAX) throw new Error(`is larger than ${FILE_BYTES_MAX / 2 ** 20} MiB`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new Error('is not text in UTF-8')
  }
}

/** One byte more than there may be of a file without end. */
function readBytes(file: string): Buffer {
  try {
    const fd = openSync(file, 'r')
    try {
      const bytes = Buffer.alloc(FILE_BYTES_MAX + 1)
      let end = 0
      for (let read = -1; read !== 0 && end < bytes.length; end += read)
        read = readSync(fd, bytes, end, bytes.length - end, null)
      return bytes.subarray(0, end)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw new Error(`cannot be read (${error instanceof Error ? error.message : error})`)
  }
}
