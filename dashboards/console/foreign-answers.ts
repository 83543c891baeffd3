/** Answers of routes that are not the analyzer's own, as far as the console shows them. */

/** `GET /v1/session` */
export interface SessionAnswer {
  name: string
  scopes: string[]
  tenant: string | null
}

/** `GET /v1/sources` */
export interface SourcesAnswer {
  sources: { name: string; title: string; dialect: string; ways: string[]; isConfigured: boolean }[]
}

/** `GET /v1/sources/{name}` */
export interface SourceGuideAnswer {
  title: string
  dialect: string
  ways: string[]
  setups: { title: string; steps: { text: string; snippet: string | null }[] }[]
  notes: string[]
}

/** `GET /v1/rejections/counts` */
export interface RejectionCountsAnswer {
  counts: {
    source: string
    reason: string
    count: number
    replayable: number
    lastAtMs: number
    example: { message: string; input: string }
  }[]
}

/** `GET /v1/rejections` */
export interface RejectionsAnswer {
  rejections: { callId: string; arrivedAtMs: number; source: string; reason: string; message: string; input: string }[]
}
