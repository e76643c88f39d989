// The types stand in the packages themselves; tools/web/tsconfig.json finds them there.
export * from "@preact/signals";
export { Component, createContext, createRef, Fragment, h, render, toChildArray } from "preact";
export type { ComponentChildren, FunctionComponent, JSX, VNode } from "preact";
export type RefObject<T> = { current: T | null };
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "preact/hooks";
import type { VNode } from "preact";
export declare const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode;
