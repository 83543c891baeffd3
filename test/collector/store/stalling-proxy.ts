/** Between a writer and the store: holds an insert back in the middle of its body, as a sender that stalls does. */
import { type AddressInfo, connect, createServer } from 'node:net'

const INSERT = 'INSERT+INTO+calls'

export interface StallingProxy {
  port: number
  /** The next insert of calls stalls after so many bytes of it; 0 is before its first. Resolves when it does. */
  stallNext(afterBytes: number): Promise<void>
  /** What was held back goes on. */
  release(): void
  close(): Promise<void>
}

export async function startStallingProxy(storePort: number): Promise<StallingProxy> {
  let armed: { afterBytes: number; stalled: () => void } | null = null
  let release: (() => void) | null = null
  const server = createServer(socket => {
    const inner = connect(storePort, '127.0.0.1')
    let left: number | null = null
    inner.pipe(socket)
    for (const [one, other] of [
      [socket, inner],
      [inner, socket],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
    socket.on('data', chunk => {
      if (armed !== null && left === null && chunk.includes(INSERT)) left = armed.afterBytes
      if (left === null || armed === null) {
        inner.write(chunk)
        return
      }
      const passed = chunk.subarray(0, left)
      left -= passed.length
      inner.write(passed)
      if (passed.length === chunk.length) return
      socket.pause()
      release = () => {
        left = null
        inner.write(chunk.subarray(passed.length))
        socket.resume()
      }
      armed.stalled()
      armed = null
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    stallNext(afterBytes) {
      const { promise, resolve } = Promise.withResolvers<void>()
      armed = { afterBytes, stalled: resolve }
      return promise
    },
    release: () => release?.(),
    close: () => new Promise(resolve => server.close(() => resolve())),
  }
}
