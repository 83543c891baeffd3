/** The ways in with the bounds that the config has by default, in a process of their own: its memory is nobody else's. */
import { Value } from 'typebox/value'
import { ReceivingOptions } from '../../../collector/receive/receiving.ts'
import { openReceiver } from './receiver.ts'

const { grpc: _, ...limits } = Value.Create(ReceivingOptions)
const { server, grpcPort, receiving, close } = await openReceiver({ limits })
const url = await server.listen({ host: '127.0.0.1', port: 0 })
process.send?.({ url, grpcPort })
process.on('message', async question => {
  if (question === 'usage') {
    process.send?.({
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
      accepted: receiving.intake.received().accepted,
    })
    return
  }
  await close()
  process.disconnect()
})
