const ENDING = /\.(?:csv|tsv|json|jsonl|ndjson|log|txt)$/i
const COMPRESSION = /\.(?:gz|gzip|zst|zstd)$/i

/** Name of a file without its folder and the endings that say how it is written. */
export function fileStemOf(path: string): string {
  const name = path.split(/[/\\]/).at(-1) ?? ''
  return name.replace(COMPRESSION, '').replace(ENDING, '')
}
