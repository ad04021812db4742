/** The two-way sync as a process runs it. */
import type { SyncCounts } from '../../processors/app/sync/counts.ts';
import { connectorTopics } from '../../schemas/app/connector-topics.ts';
import { syncTopics } from '../../schemas/app/sync/topics.ts';
import { legacySync, legacySyncName } from '../../topology/app/legacy-sync.ts';
import { newTopics, type Application } from './application.ts';
import { syncRoutes } from './sync-routes.ts';

export function legacySyncApplication(counts: SyncCounts): Application {
  return {
    name: legacySyncName,
    isOnRequest: true,
    topology: (topicPrefix, format) => legacySync(topicPrefix, format, counts),
    topics: (topicPrefix) => {
      const { checkpoints } = connectorTopics(topicPrefix);
      return newTopics({ ...syncTopics(topicPrefix), checkpoints });
    },
    routes: () => syncRoutes,
    examples: ['/sync/status', '/sync/pairs/user:legacy:1'],
  };
}
