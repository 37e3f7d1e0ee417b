/** Path of the packaged browser, unpacked under this checkout. */
export declare function packagedChromium(): Promise<string>
