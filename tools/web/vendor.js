// The one thing that every module of the dashboard imports its building blocks from. `make vendor` bundles it.
export * from "@preact/signals";
export { Component, createContext, createRef, Fragment, h, render, toChildArray } from "preact";
export {
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useId,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "preact/hooks";

import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
