/** A value that MessagePack can carry. */
export type ValueType =
  | number
  | bigint
  | string
  | boolean
  | null
  | Uint8Array
  | readonly ValueType[]
  | ValueMap;

/** A map from text or number to values. */
export interface ValueMap {
  [index: string | number]: ValueType;
}

/** Encodes `object`; throws where it holds something that MessagePack has no form for. */
export function encode(object: ValueType): Uint8Array<ArrayBuffer>;

/** Decodes `data`; throws where it is not one whole MessagePack value. */
export function decode(data: Uint8Array): ValueType;
