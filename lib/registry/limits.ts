/** How much a registry keeps. */

/** Bytes of a name, in UTF-8. */
export const NAME_SIZE_MAX = 255;
/** Bytes of what a name is bound to, in UTF-8. */
export const VALUE_SIZE_MAX = 1024;
/** How many names may be bound. */
export const NAME_COUNT_MAX = 65_536;
/** How many changes are remembered for those who watch; who is further behind begins anew with the list. */
export const EVENT_COUNT_MAX = 4096;
