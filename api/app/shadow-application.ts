/** The comparison of two systems, as a process runs it. */
import type { Clock } from '../../index.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { shadowPrefix, shadowTopics } from '../../schemas/app/shadow.ts';
import { shadow, shadowName } from '../../topology/app/shadow.ts';
import { newTopics, type Application } from './application.ts';
import { shadowRoutes } from './shadow-routes.ts';

export function shadowApplication(clock: Clock): Application {
  return {
    name: shadowName,
    isOnRequest: true,
    topology: shadow,
    topics: (topicPrefix) => newTopics(shadowTopics(topicPrefix)),
    routes: ({ topicPrefix, format, write, log }) =>
      shadowRoutes({
        ...{ write, clock, log },
        topics: shadowTopics(topicPrefix, format),
        deadLetterTopics: [
          customerTopics(topicPrefix).dlq.name,
          billingTopics(topicPrefix).deadLetter.name,
          billingTopics(shadowPrefix(topicPrefix)).deadLetter.name,
        ],
      }),
    examples: ['/admin/rollout-report'],
  };
}
