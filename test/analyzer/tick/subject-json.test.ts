import { expect, test } from 'vitest'
import { subjectFromJson } from '../../../analyzer/tick/subject-json.ts'
import { testQuota } from '../quotas.ts'

test('the values of a subject can be stored again, whoever wrote its JSON', () => {
  const one = testQuota({ per: ['tenant', 'consumer'] })
  expect(subjectFromJson(one, String.raw`{"tenant":"\ud800","consumer":"\ud83d\ude00"}`)).toEqual(['\ufffd', '😀'])
})
