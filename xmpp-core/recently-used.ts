import { LRUCache } from "lru-cache";

/** The `most` entries that were used last. By size: by number the cache would take room for all of them at once. */
export function recentlyUsed<Key extends {}, Value extends {}>(most: number): LRUCache<Key, Value> {
  return new LRUCache<Key, Value>({ maxSize: most, sizeCalculation: () => 1 });
}
