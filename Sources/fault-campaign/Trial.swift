import Foundation
import Tensors
import _TestSupport

/// One attempt at a row.
final class Trial {
  let campaign: Campaign
  let row: Int
  let number: Int
  /// A function of the campaign's seed, the row and the number.
  var random: CounterRandom
  private(set) var jobs: [CampaignJob] = []
  /// What was done, for whoever reads of a failure.
  private(set) var deeds: [String] = []

  init(_ campaign: Campaign, row: Int, number: Int) {
    (self.campaign, self.row, self.number) = (campaign, row, number)
    random = CounterRandom(seed: campaign.seed, epoch: row, sample: number, purpose: .test)
  }

  /// A job in a directory of its own.
  func makeJob() throws -> CampaignJob {
    let job = try CampaignJob(campaign)
    jobs.append(job)
    return job
  }

  func note(_ deed: String) { deeds.append(deed) }

  /// One of `choices`, by `number`: trials in a row go through all.
  func take<Choice>(_ choices: [Choice]) -> Choice { choices[number % choices.count] }

  /// Any of `choices`.
  func draw<Choice>(_ choices: [Choice]) -> Choice { choices[random.next(below: choices.count)] }
}
