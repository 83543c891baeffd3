import { type AddressInfo, createServer } from 'node:net'
import kafkajs from 'kafkajs'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { kafkaConfig } from '../../../collector/log/kafka-client.ts'

/** Listens there, and answers the first bytes that come; none where nobody came. */
async function firstBytes(host: string, use: (port: number) => Promise<unknown>): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  const server = createServer(socket => {
    socket
      .on('error', () => undefined)
      .once('data', bytes => {
        resolve(bytes)
        socket.destroy()
      })
  })
  await new Promise<void>(done => server.listen(0, host, done))
  try {
    await use((server.address() as AddressInfo).port)
    return await Promise.race([promise, Buffer.alloc(8)])
  } finally {
    server.close()
  }
}

test.each(['::1', '127.0.0.1'])('a broker is asked at its address: %s', async host => {
  const at = host.includes(':') ? `[${host}]` : host
  const bytes = await firstBytes(host, async port => {
    const options = { brokers: [`${at}:${port}`], clientId: 'test' }
    const config = await kafkaConfig(options, 'log', pino({ level: 'silent' }))
    const retry = { retries: 0 }
    const admin = new kafkajs.Kafka({ ...config, connectionTimeout: 1_000, requestTimeout: 500, retry }).admin()
    await expect(admin.connect()).rejects.toThrow()
  })
  // The request for the versions that the broker knows (key 18).
  expect(bytes.readInt16BE(4)).toBe(18)
})

test('a broker with TLS at an IPv6 address is spoken to by TLS', async () => {
  const bytes = await firstBytes('::1', async port => {
    const options = { brokers: [`[::1]:${port}`], clientId: 'test', tls: {} }
    const config = await kafkaConfig(options, 'log', pino({ level: 'silent' }))
    const retry = { retries: 0 }
    const admin = new kafkajs.Kafka({ ...config, connectionTimeout: 1_000, retry }).admin()
    await expect(admin.connect()).rejects.toThrow()
  })
  const handshake = 22
  expect(bytes[0]).toBe(handshake)
})
