import {
  type FakeBitbucket,
  type FakeBitbucketOptions,
  type FakeProfile,
  startFakeBitbucket as start,
} from '../../src/testing/index'

export * from '../../src/testing/index'

/** The fake in the profile of `FAKE_PROFILE`, unless the test chooses one. */
export function startFakeBitbucket(options: FakeBitbucketOptions = {}): Promise<FakeBitbucket> {
  const profile = process.env.FAKE_PROFILE as FakeProfile | undefined
  return start(profile === undefined ? options : { profile, ...options })
}
